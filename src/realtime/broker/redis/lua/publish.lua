-- Gives a message the next place of a channel, remembers it, and tells everyone who listens.
-- KEYS: head, log. ARGV: server, fresh epoch, key or '', at, message, most, log's life, head's life.
-- Answers the place, or nothing if the key was published before.
local server = ARGV[1] == '' and redis.call('CLUSTER', 'MYID') or ARGV[1]
local head = redis.call('HMGET', KEYS[1], 'epoch', 'off', 'key', 'server')
local epoch, off, last = head[1], tonumber(head[2] or 0), head[3]
if ARGV[3] ~= '' and last and tonumber(ARGV[3]) <= tonumber(last) then
    return false
end
-- Another server may not have seen the last events of the one before it: it must not give their places to others.
if not epoch or head[4] ~= server then
    epoch, off = ARGV[2], 0
    redis.call('DEL', KEYS[2])
end
off = string.format('%.0f', off + 1)
redis.call('HSET', KEYS[1], 'epoch', epoch, 'off', off, 'server', server, 'at', ARGV[4])
if ARGV[3] ~= '' then
    redis.call('HSET', KEYS[1], 'key', ARGV[3])
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[6], off .. '-0', 'at', ARGV[4], 'm', ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[7])
redis.call('PEXPIRE', KEYS[1], ARGV[8])
redis.call(ARGV[1] == '' and 'SPUBLISH' or 'PUBLISH', KEYS[1], epoch .. ' ' .. off .. ' ' .. ARGV[4] .. ' ' .. ARGV[5])
return {epoch, off}
