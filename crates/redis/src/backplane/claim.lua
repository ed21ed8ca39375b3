-- ARGV: owner, token, link, an owner that is dead or '', the time after which the claim is not wanted any more or ''.
local owner, token, link, over = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
-- It was stopped on its way: its node has given it up, and would tell nobody who loses the name by it.
local until_when = tonumber(ARGV[5] or '')
if until_when and now > until_when then return {'late'} end
local held = record.owner
if held == over then held = nil end
if held == owner then
  -- The claim was repeated, because its first answer was lost.
  return own('own', owner, token, link, tonumber(record.fence), tonumber(record.since))
end
if held and record.token ~= token then return {'taken', held} end
if held and link == 'stream' and record.link == 'socket' then return {'elsewhere', held} end
return own('granted', owner, token, link, next_fence(), now, held, held and record.link)
