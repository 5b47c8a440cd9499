-- Every event of a channel after a place.
-- KEYS: head, log, and a key that forbids it while it is there, if any. ARGV: server, epoch, off, most, greatest age.
-- Answers where the channel stands and the events, or nothing if that is no longer known.
if KEYS[3] and redis.call('EXISTS', KEYS[3]) == 1 then
    return false
end
local server = ARGV[1] == '' and redis.call('CLUSTER', 'MYID') or ARGV[1]
local head = redis.call('HMGET', KEYS[1], 'epoch', 'off', 'at', 'server')
if not head[1] or head[1] ~= ARGV[2] or head[4] ~= server then
    return false
end
local missed = tonumber(head[2]) - tonumber(ARGV[3])
if missed < 0 or missed > tonumber(ARGV[4]) then
    return false
end
if missed == 0 then
    return {head[2], {}}
end
local events = redis.call('XRANGE', KEYS[2], string.format('%.0f', tonumber(ARGV[3]) + 1) .. '-0', '+')
if #events ~= missed or tonumber(events[1][2][2]) + tonumber(ARGV[5]) < tonumber(head[3]) then
    return false
end
return {head[2], events}
