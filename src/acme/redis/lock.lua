-- Takes or keeps a lock, unless another node has it.
-- ARGV: the node, milliseconds of the lease; 0 gives the lock back.
local holder = redis.call('HGET', KEYS[1], 'holder')
if holder and holder ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'holder', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
