-- A device has connected. KEYS: …, held, fenced. ARGV: …, device, cap, 1 if others know already.
-- Answers the edge and the oldest devices beyond the cap; nothing at all if the instance was given up.
if redis.call('EXISTS', KEYS[4]) == 1 then
    return {}
end
redis.call('HSET', KEYS[1], '@' .. ARGV[6], redis.call('HINCRBY', KEYS[1], 'count', 1))
redis.call('SADD', KEYS[3], USER .. ' ' .. ARGV[6])
redis.call('HDEL', KEYS[1], 'lost', 'due', 'why')
if redis.call('HSETNX', KEYS[1], 'since', ARGV[3]) == 1 and ARGV[8] == '1' then
    redis.call('HSET', KEYS[1], 'told', 1)
end
local surplus, here = {}, devices()
if #here > tonumber(ARGV[7]) then
    table.sort(here, function(a, b) return a[2] < b[2] end)
    for index = 1, #here - tonumber(ARGV[7]) do
        surplus[index] = here[index][1]
    end
end
return {next_edge(), surplus}
