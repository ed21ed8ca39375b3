-- Removes a key, if it exists and is as expected. Answers 1 if it did.
-- ARGV: key, new version, its expected JSON or '' for any, its expected last use.
local field, used = 'k:' .. ARGV[1], 'u:' .. ARGV[1]
local json = redis.call('HGET', KEYS[1], field)
if not json then return 0 end
if ARGV[3] ~= '' and (json ~= ARGV[3] or (redis.call('HGET', KEYS[1], used) or '') ~= ARGV[4]) then return 0 end
redis.call('HDEL', KEYS[1], field, used)
if cjson.decode(json).registered then redis.call('HINCRBY', KEYS[1], 'registered', -1) end
redis.call('HSET', KEYS[1], 'version', ARGV[2])
return 1
