-- Adds or changes a key, if it is as expected.
-- ARGV: key, its expected JSON or '' if it must not exist, its new JSON, new version, 1 if it is a registered one,
-- most registered keys or 0 for any number, its last use or ''.
local field = 'k:' .. ARGV[1]
if (redis.call('HGET', KEYS[1], field) or '') ~= ARGV[2] then return 'other' end
if ARGV[2] == '' then
  if ARGV[5] == '1' then
    local most = tonumber(ARGV[6])
    local registered = tonumber(redis.call('HGET', KEYS[1], 'registered') or '0')
    if most > 0 and registered >= most then return 'full' end
    redis.call('HINCRBY', KEYS[1], 'registered', 1)
  end
  redis.call('HSET', KEYS[1], 'h:' .. ARGV[1], redis.call('HGET', KEYS[1], 'hours') or '0')
  if ARGV[7] ~= '' then redis.call('HSET', KEYS[1], 'u:' .. ARGV[1], ARGV[7]) end
end
redis.call('HSET', KEYS[1], field, ARGV[3], 'version', ARGV[4])
return 'done'
