-- Renews a lease by Redis' own clock, and names the given-up instances that the caller is to see to.
-- KEYS: leases, what instances say of themselves, those given up, who sees to each of these. ARGV: server, instance,
-- its lease, what it says of itself, 1 if it is new, 1 if it may give up others.
-- Answers 1 if the lease is still there, then each such instance and how long ago it last showed itself.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = not redis.call('ZSCORE', KEYS[3], ARGV[2])
    and (ARGV[5] == '1' or redis.call('ZSCORE', KEYS[1], ARGV[2]))
if held then
    redis.call('ZADD', KEYS[1], now, ARGV[2])
    redis.call('HSET', KEYS[2], ARGV[2], ARGV[4])
end
if ARGV[6] == '1' then
    local ended = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%.0f', now - ARGV[3]), 'WITHSCORES')
    for index = 1, #ended, 2 do
        -- First of all its lease: an instance that comes back sees that it was given up.
        redis.call('ZREM', KEYS[1], ended[index])
        redis.call('HDEL', KEYS[2], ended[index])
        redis.call('ZADD', KEYS[3], ended[index + 1], ended[index])
    end
end
local answer, given_up = {held and '1' or '0'}, redis.call('ZRANGE', KEYS[3], 0, -1, 'WITHSCORES')
for index = 1, #given_up, 2 do
    -- One at a time; if that one is gone too, the next.
    local by = redis.call('HGET', KEYS[4], given_up[index])
    if given_up[index] ~= ARGV[2] and not (by and redis.call('ZSCORE', KEYS[1], by)) then
        redis.call('HSET', KEYS[4], given_up[index], ARGV[2])
        answer[#answer + 1] = given_up[index]
        answer[#answer + 1] = string.format('%.0f', now - given_up[index + 1])
    end
end
return answer
