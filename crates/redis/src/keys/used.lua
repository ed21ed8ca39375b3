-- Stores when keys were last used, and in which counted hour. ARGV: key, seconds since 1970, key, …
local hours = redis.call('HGET', KEYS[1], 'hours') or '0'
for i = 1, #ARGV, 2 do
  local field = 'u:' .. ARGV[i]
  local known = tonumber(redis.call('HGET', KEYS[1], field) or '0') or 0
  if redis.call('HEXISTS', KEYS[1], 'k:' .. ARGV[i]) == 1 then
    redis.call('HSET', KEYS[1], 'h:' .. ARGV[i], hours)
    if tonumber(ARGV[i + 1]) > known then redis.call('HSET', KEYS[1], field, ARGV[i + 1]) end
  end
end
return 0
