-- Counts a registration of an address: a list of their times, oldest first. ARGV: most of them within 24 hours.
-- Answers 0, or after how many milliseconds the address may register again.
local DAY = 86400000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local oldest = tonumber(redis.call('LINDEX', KEYS[1], 0))
while oldest and oldest + DAY <= now do
  redis.call('LPOP', KEYS[1])
  oldest = tonumber(redis.call('LINDEX', KEYS[1], 0))
end
if oldest and redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[1]) then return oldest + DAY - now end
redis.call('RPUSH', KEYS[1], string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], DAY)
return 0
