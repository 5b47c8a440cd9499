-- The caller is slow to tell its edge. Answers 1, and it has its time anew; or 0, if another was asked to tell it.
if redis.call('HGET', KEYS[1], 'teller') ~= ARGV[5] then
    return 0
end
local by = string.format('%.0f', NOW + tonumber(ARGV[4]))
redis.call('HSET', KEYS[1], 'until', by)
redis.call('ZADD', KEYS[2], by, USER)
return 1
