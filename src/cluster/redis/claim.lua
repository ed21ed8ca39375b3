-- ARGV: owner, token, link, an owner that is dead or ''.
local owner, token, link, over = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local held = record.owner
if held == over then held = nil end
if held == owner then
  -- The claim was repeated, because its first answer was lost.
  return own('own', owner, token, link, tonumber(record.fence), tonumber(record.since))
end
if held and record.token ~= token then return {'taken', held} end
if held and link == 'stream' and record.link == 'socket' then return {'elsewhere', held} end
return own('granted', owner, token, link, next_fence(), now, held, held and record.link)
