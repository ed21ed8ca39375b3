-- Finds the registered keys that were unused for some counted hours, and removes them if there is a new version.
-- ARGV: hours, new version or ''. Answers the keys.
local fields, used, unused = redis.call('HGETALL', KEYS[1]), {}, {}
local latest = tonumber(redis.call('HGET', KEYS[1], 'hours') or '0') - tonumber(ARGV[1])
for i = 1, #fields, 2 do
  local key = string.match(fields[i], '^h:(.*)$')
  if key then used[key] = tonumber(fields[i + 1]) end
end
for i = 1, #fields, 2 do
  local key = string.match(fields[i], '^k:(.*)$')
  -- JSON takes time, so it is parsed only of the few keys that nobody has used for long.
  if key and (used[key] or 0) <= latest then
    local fine, stored = pcall(cjson.decode, fields[i + 1])
    if fine and type(stored) == 'table' and stored.registered then unused[#unused + 1] = key end
  end
end
if #unused == 0 or ARGV[2] == '' then return unused end
for _, key in ipairs(unused) do redis.call('HDEL', KEYS[1], 'k:' .. key, 'u:' .. key, 'h:' .. key) end
redis.call('HINCRBY', KEYS[1], 'registered', -#unused)
redis.call('HSET', KEYS[1], 'version', ARGV[2])
return unused
