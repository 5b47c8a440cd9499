-- Whoever is held will not come back: due at once.
local due = redis.call('HGET', KEYS[1], 'due')
if due and tonumber(due) > NOW then
    redis.call('HSET', KEYS[1], 'due', ARGV[3])
end
if due and redis.call('HEXISTS', KEYS[1], 'until') == 0 then
    redis.call('ZADD', KEYS[2], math.min(NOW, tonumber(due)), USER)
end
return {}
