-- Gives up devices of an instance that shows no sign of life: their users are held.
-- KEYS: held, due, users. ARGV: server, lost, due, then user and device of each.
for index = 3, #KEYS do
    local user, device = ARGV[2 * index - 2], ARGV[2 * index - 1]
    redis.call('SREM', KEYS[1], user .. ' ' .. device)
    redis.call('HDEL', KEYS[index], '@' .. device)
    local here, all = false, redis.call('HKEYS', KEYS[index])
    for _, field in ipairs(all) do
        here = here or field:sub(1, 1) == '@'
    end
    if not here and redis.call('HEXISTS', KEYS[index], 'since') == 1 then
        redis.call('HSETNX', KEYS[index], 'lost', ARGV[2])
        redis.call('HSETNX', KEYS[index], 'due', ARGV[3])
        redis.call('HSETNX', KEYS[index], 'why', 'instance_lost')
        if redis.call('HEXISTS', KEYS[index], 'until') == 0 then
            redis.call('ZADD', KEYS[2], redis.call('HGET', KEYS[index], 'due'), user)
        end
    end
end
return #KEYS - 2
