-- The caller has told its edge. Answers the next one, if things have changed meanwhile.
if redis.call('HGET', KEYS[1], 'teller') ~= ARGV[5] then
    return {}
end
if redis.call('HGET', KEYS[1], 'says') == 'online' then
    redis.call('HSET', KEYS[1], 'told', 1)
else
    redis.call('HDEL', KEYS[1], 'told')
end
redis.call('HDEL', KEYS[1], 'until', 'teller', 'says')
return next_edge()
