-- Counts tries of somebody for all instances together.
-- KEYS: tries. ARGV: server, how, then of `counted` how many in how long, of `attempted` how many are free and the longest
-- delay. Answers the milliseconds to wait, 0 for none.
if ARGV[2] == 'forgiven' then
    redis.call('DEL', KEYS[1])
    return 0
end
if ARGV[2] == 'counted' then
    local tries = redis.call('INCR', KEYS[1])
    if tries == 1 then
        redis.call('PEXPIRE', KEYS[1], ARGV[4])
    end
    return tries > tonumber(ARGV[3]) and math.max(redis.call('PTTL', KEYS[1]), 1) or 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local wait = (tonumber(redis.call('HGET', KEYS[1], 'until') or 0)) - now
if wait > 0 then
    return wait
end
local doublings = redis.call('HINCRBY', KEYS[1], 'tries', 1) - tonumber(ARGV[3]) - 1
local delay = doublings < 0 and 0 or math.min(1000 * 2 ^ math.min(doublings, 16), tonumber(ARGV[4]))
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + delay))
-- Remembered a while after it is over, or waiting it out would reset the doubling.
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', delay + ARGV[4]))
return 0
