-- Stores when keys were last used, unless a later time is stored. ARGV: key, seconds since 1970, key, …
for i = 1, #ARGV, 2 do
  local field = 'u:' .. ARGV[i]
  local known = tonumber(redis.call('HGET', KEYS[1], field) or '0') or 0
  if tonumber(ARGV[i + 1]) > known and redis.call('HEXISTS', KEYS[1], 'k:' .. ARGV[i]) == 1 then
    redis.call('HSET', KEYS[1], field, ARGV[i + 1])
  end
end
return 0
