-- Removes a key, if it exists. ARGV: key, new version. Answers 1 if it did.
local field = 'k:' .. ARGV[1]
local json = redis.call('HGET', KEYS[1], field)
if not json then return 0 end
redis.call('HDEL', KEYS[1], field, 'u:' .. ARGV[1], 'h:' .. ARGV[1])
-- One that is broken can be removed too.
local fine, stored = pcall(cjson.decode, json)
if fine and type(stored) == 'table' and stored.registered then redis.call('HINCRBY', KEYS[1], 'registered', -1) end
redis.call('HSET', KEYS[1], 'version', ARGV[2])
return 1
