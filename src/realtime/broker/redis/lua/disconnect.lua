-- A device is gone. KEYS: …, held. ARGV: …, device, grace or '' if it is gone for good, when it was lost.
redis.call('HDEL', KEYS[1], '@' .. ARGV[6])
redis.call('SREM', KEYS[3], USER .. ' ' .. ARGV[6])
if redis.call('HEXISTS', KEYS[1], 'since') == 1 and #devices() == 0 then
    redis.call('HSETNX', KEYS[1], 'lost', ARGV[8])
    if ARGV[7] == '' then
        redis.call('HDEL', KEYS[1], 'since', 'due')
        redis.call('HSET', KEYS[1], 'why', 'logout')
    else
        -- From now, not from the loss: whoever was lost while Redis was away could not come back before.
        redis.call('HSETNX', KEYS[1], 'due', string.format('%.0f', NOW + tonumber(ARGV[7])))
        redis.call('HSETNX', KEYS[1], 'why', 'disconnected')
    end
end
return next_edge()
