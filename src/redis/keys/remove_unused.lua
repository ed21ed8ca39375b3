-- Removes the registered keys that were last used before a time. Keys that were never used count from their creation.
-- ARGV: seconds since 1970, new version. Answers the removed keys.
local fields, used, removed, before = redis.call('HGETALL', KEYS[1]), {}, {}, tonumber(ARGV[1])
for i = 1, #fields, 2 do
  local key = string.match(fields[i], '^u:(.*)$')
  if key then used[key] = tonumber(fields[i + 1]) end
end
for i = 1, #fields, 2 do
  local key = string.match(fields[i], '^k:(.*)$')
  -- JSON takes time, so it is parsed only of the few keys that nobody has used for long.
  if key and (used[key] or 0) < before then
    local fine, stored = pcall(cjson.decode, fields[i + 1])
    local is_registered = fine and type(stored) == 'table' and stored.registered
    if is_registered and (used[key] or tonumber(stored.created) or before) < before then removed[#removed + 1] = key end
  end
end
if #removed == 0 then return removed end
for _, key in ipairs(removed) do redis.call('HDEL', KEYS[1], 'k:' .. key, 'u:' .. key) end
redis.call('HINCRBY', KEYS[1], 'registered', -#removed)
redis.call('HSET', KEYS[1], 'version', ARGV[2])
return removed
