-- Where channels stand; those that nobody has heard of begin now.
-- KEYS: head and log of each. ARGV: server, fresh epoch, head's life. Answers epoch, off, last key or '' of each.
local server = ARGV[1] == '' and redis.call('CLUSTER', 'MYID') or ARGV[1]
local stand = {}
for index = 1, #KEYS, 2 do
    local head = redis.call('HMGET', KEYS[index], 'epoch', 'off', 'key', 'server')
    local epoch, off = head[1], head[2]
    if not epoch or head[4] ~= server then
        epoch, off = ARGV[2], '0'
        redis.call('DEL', KEYS[index + 1])
        redis.call('HSET', KEYS[index], 'epoch', epoch, 'off', off, 'server', server)
        redis.call('PEXPIRE', KEYS[index], ARGV[3])
    end
    stand[#stand + 1] = {epoch, off, head[3] or ''}
end
return stand
