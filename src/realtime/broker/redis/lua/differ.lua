-- Which channels do not stand where this instance believes.
-- KEYS: heads. ARGV: server, then epoch and off of each. Answers their indices.
local server = ARGV[1] == '' and redis.call('CLUSTER', 'MYID') or ARGV[1]
local differ = {}
for index, key in ipairs(KEYS) do
    local head = redis.call('HMGET', key, 'epoch', 'off', 'server')
    if head[1] ~= ARGV[2 * index] or head[2] ~= ARGV[2 * index + 1] or head[3] ~= server then
        differ[#differ + 1] = index
    end
end
return differ
