-- Counts an hour in which a node ran, unless a node has counted it. ARGV: seconds since 1970, seconds until another one counts.
local now, counted = tonumber(ARGV[1]), tonumber(redis.call('HGET', KEYS[1], 'counted') or '0')
if now >= counted and now < counted + tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], 'counted', ARGV[1])
return redis.call('HINCRBY', KEYS[1], 'hours', 1)
