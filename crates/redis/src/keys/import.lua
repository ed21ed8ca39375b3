-- Adds keys, all or none of them. Answers 0, or the number of the first one that exists and may not be overwritten.
-- ARGV: new version, 1 to overwrite, and of each key: its text, its JSON, 1 if it is a registered one, its last use or ''.
local registered, is_registered = 0, {}
for i = 3, #ARGV, 4 do
  local json = redis.call('HGET', KEYS[1], 'k:' .. ARGV[i])
  if json and ARGV[2] == '0' then return (i + 1) / 4 end
  if is_registered[ARGV[i]] == nil then
    local fine, stored = pcall(cjson.decode, json or '{}')
    is_registered[ARGV[i]] = fine and type(stored) == 'table' and stored.registered or false
  end
  if is_registered[ARGV[i]] then registered = registered - 1 end
  is_registered[ARGV[i]] = ARGV[i + 2] == '1'
  if is_registered[ARGV[i]] then registered = registered + 1 end
end
-- Nothing was written up to here, so whatever fails above leaves the keys as they are.
if registered ~= 0 then redis.call('HINCRBY', KEYS[1], 'registered', registered) end
local hours = redis.call('HGET', KEYS[1], 'hours') or '0'
for i = 3, #ARGV, 4 do
  local used = 'u:' .. ARGV[i]
  redis.call('HSET', KEYS[1], 'k:' .. ARGV[i], ARGV[i + 1], 'h:' .. ARGV[i], hours)
  if ARGV[i + 3] == '' then redis.call('HDEL', KEYS[1], used) else redis.call('HSET', KEYS[1], used, ARGV[i + 3]) end
end
redis.call('HSET', KEYS[1], 'version', ARGV[1])
return 0
