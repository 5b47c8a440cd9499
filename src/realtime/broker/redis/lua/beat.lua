-- Looks whether a partition still has its data, and lets the caller hear itself.
-- KEYS: life, probe. ARGV: server, fresh life, what to say. Answers the partition's life and its server.
local server = ARGV[1] == '' and redis.call('CLUSTER', 'MYID') or ARGV[1]
redis.call('SET', KEYS[1], ARGV[2], 'NX')
redis.call(ARGV[1] == '' and 'SPUBLISH' or 'PUBLISH', KEYS[2], ARGV[3])
return {redis.call('GET', KEYS[1]), server}
