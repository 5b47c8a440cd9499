-- Every event of channels after places in them.
-- KEYS: of each place head, log, and the key that forbids it while it is there. ARGV: server, most, greatest age, whether
-- that key counts, then epoch and off of each. Answers for each where the channel stands and the events, or nothing if that
-- is no longer known.
local server = ARGV[1] == '' and redis.call('CLUSTER', 'MYID') or ARGV[1]

local function since(head_key, log, doubt, asked_epoch, asked_off)
    if ARGV[4] == '1' and redis.call('EXISTS', doubt) == 1 then
        return false
    end
    local head = redis.call('HMGET', head_key, 'epoch', 'off', 'at', 'server')
    if not head[1] or head[1] ~= asked_epoch or head[4] ~= server then
        return false
    end
    local missed = tonumber(head[2]) - tonumber(asked_off)
    if missed < 0 or missed > tonumber(ARGV[2]) then
        return false
    end
    if missed == 0 then
        return {head[2], {}}
    end
    local events = redis.call('XRANGE', log, string.format('%.0f', tonumber(asked_off) + 1) .. '-0', '+')
    if #events ~= missed or tonumber(events[1][2][2]) + tonumber(ARGV[3]) < tonumber(head[3]) then
        return false
    end
    return {head[2], events}
end

local found = {}
for index = 1, #KEYS / 3 do
    local key, place = 3 * index, 4 + 2 * index
    found[index] = since(KEYS[key - 2], KEYS[key - 1], KEYS[key], ARGV[place - 1], ARGV[place])
end
return found
