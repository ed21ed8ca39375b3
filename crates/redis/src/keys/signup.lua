-- Counts a registration of an address: a list of their times, oldest first. ARGV: most of them within 24 hours.
-- Answers 0, or after how many milliseconds the address may register again.
local DAY = 86400000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local length = redis.pcall('LLEN', KEYS[1])
if type(length) == 'table' then
  if not length.err:find('WRONGTYPE', 1, true) then return length end
  redis.call('DEL', KEYS[1])
end
local first = redis.call('LINDEX', KEYS[1], 0)
local oldest = tonumber(first or nil)
-- One that is no time of a registration is broken.
while first and (not oldest or oldest > now + DAY or oldest + DAY <= now) do
  redis.call('LPOP', KEYS[1])
  first = redis.call('LINDEX', KEYS[1], 0)
  oldest = tonumber(first or nil)
end
if oldest and redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[1]) then return oldest + DAY - now end
redis.call('RPUSH', KEYS[1], string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], DAY)
return 0
