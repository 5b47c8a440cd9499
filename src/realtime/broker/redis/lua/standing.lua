-- Where a channel stands; one that nobody has heard of begins now.
-- KEYS: head, log. ARGV: server, fresh epoch, head's life. Answers epoch, off, last key or ''.
local server = ARGV[1] == '' and redis.call('CLUSTER', 'MYID') or ARGV[1]
local head = redis.call('HMGET', KEYS[1], 'epoch', 'off', 'key', 'server')
local epoch, off = head[1], head[2]
if not epoch or head[4] ~= server then
    epoch, off = ARGV[2], '0'
    redis.call('DEL', KEYS[2])
    redis.call('HSET', KEYS[1], 'epoch', epoch, 'off', off, 'server', server)
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return {epoch, off, head[3] or ''}
