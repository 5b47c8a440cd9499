-- What every script of presence begins with.
-- KEYS: user, due. ARGV: server, user, now, patience, teller, …
--
-- A user is a hash: `since` while online, a field `@instance:device` for each device with its age as a number, `lost`,
-- `due` and `why` while held, and `told` = 1 once others were told that they are there. An edge is told by one instance
-- at a time; until it says that it has, nobody tells another. Whoever does not say so in time is taken for dead, and
-- what was told for unknown: it is told again.
local USER, NOW = ARGV[2], tonumber(ARGV[3])

local function devices()
    local found, all = {}, redis.call('HGETALL', KEYS[1])
    for index = 1, #all, 2 do
        if all[index]:sub(1, 1) == '@' then
            found[#found + 1] = {all[index]:sub(2), tonumber(all[index + 1])}
        end
    end
    return found
end

-- The edge that the caller has to tell now, if there is one.
local function next_edge()
    local state = redis.call('HMGET', KEYS[1], 'since', 'told', 'until', 'lost', 'due', 'why')
    local since, told = state[1], state[2]
    if state[3] then
        redis.call('ZADD', KEYS[2], state[3], USER)
        return {}
    end
    if (since and told ~= '1') or (told and not since) then
        local by = string.format('%.0f', NOW + tonumber(ARGV[4]))
        redis.call('HSET', KEYS[1], 'until', by, 'teller', ARGV[5], 'says', since and 'online' or 'offline')
        redis.call('ZADD', KEYS[2], by, USER)
        return since and {'online', since} or {'offline', state[4] or ARGV[3], state[6] or 'disconnected'}
    end
    if not since then
        redis.call('DEL', KEYS[1])
    end
    if since and state[5] then
        redis.call('ZADD', KEYS[2], state[5], USER)
    else
        redis.call('ZREM', KEYS[2], USER)
    end
    return {}
end

