-- A device has connected. KEYS: …, held, fenced. ARGV: …, device, cap, since when it has been there if others know already.
-- Answers the edge and the oldest devices beyond the cap; nothing at all if the instance was given up.
if redis.call('EXISTS', KEYS[4]) == 1 then
    return {}
end
redis.call('HSET', KEYS[1], '@' .. ARGV[6], redis.call('HINCRBY', KEYS[1], 'count', 1))
redis.call('SADD', KEYS[3], USER .. ' ' .. ARGV[6])
redis.call('HDEL', KEYS[1], 'lost', 'due', 'why')
local since = ARGV[8] == '' and ARGV[3] or ARGV[8]
if redis.call('HSETNX', KEYS[1], 'since', since) == 1 then
    if ARGV[8] ~= '' then
        redis.call('HSET', KEYS[1], 'told', 1)
    end
elseif ARGV[8] ~= '' and tonumber(since) < tonumber(redis.call('HGET', KEYS[1], 'since')) then
    -- Of devices that are said again in any order the first counts.
    redis.call('HSET', KEYS[1], 'since', since)
end
local surplus, here = {}, devices()
if #here > tonumber(ARGV[7]) then
    table.sort(here, function(a, b) return a[2] < b[2] end)
    for index = 1, #here - tonumber(ARGV[7]) do
        surplus[index] = here[index][1]
    end
end
return {next_edge(), surplus}
