-- Somebody has to be looked at: a grace has ended, or a telling has not.
local state = redis.call('HMGET', KEYS[1], 'until', 'due')
if state[1] and tonumber(state[1]) <= NOW then
    redis.call('HDEL', KEYS[1], 'until', 'teller', 'says')
    redis.call('HSET', KEYS[1], 'told', '?')
end
if state[2] and tonumber(state[2]) <= NOW and #devices() == 0 then
    redis.call('HDEL', KEYS[1], 'since', 'due')
end
return next_edge()
