-- Removes the registered keys that were last used before a time. Keys that were never used count from their creation.
-- ARGV: seconds since 1970, new version. Answers the removed keys.
local removed, fields = {}, redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local key = string.match(fields[i], '^k:(.*)$')
  local stored = key and cjson.decode(fields[i + 1])
  if stored and stored.registered then
    local used = tonumber(redis.call('HGET', KEYS[1], 'u:' .. key) or '') or stored.created
    if used < tonumber(ARGV[1]) then removed[#removed + 1] = key end
  end
end
if #removed == 0 then return removed end
for _, key in ipairs(removed) do redis.call('HDEL', KEYS[1], 'k:' .. key, 'u:' .. key) end
redis.call('HINCRBY', KEYS[1], 'registered', -#removed)
redis.call('HSET', KEYS[1], 'version', ARGV[2])
return removed
