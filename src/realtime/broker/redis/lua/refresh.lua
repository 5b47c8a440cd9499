-- Keeps channels that somebody listens to, and lets their events grow old.
-- KEYS: heads. ARGV: server, now, head's life.
for _, key in ipairs(KEYS) do
    if redis.call('PEXPIRE', key, ARGV[3]) == 1 and tonumber(redis.call('HGET', key, 'at') or ARGV[2]) < tonumber(ARGV[2]) then
        redis.call('HSET', key, 'at', ARGV[2])
    end
end
