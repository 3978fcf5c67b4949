-- flags: allow-oom
-- Return {ms before which jobs of a state may be deleted, when more may be, or ''}: none that could not be foreseen.
--
-- A shorter time to keep them, or nobody there to warn, makes many due at once: these stay a day longer. Until then
-- goes what was due before. In K.meta stands for each state: ms kept, last look, since when more are due, limit till then.
-- ARGV: 2 state, 3 ms for which they are kept, 4 ms of warning, 5 '1': look only.
local field, keep, warning = 'prune:' .. ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

-- Return up to when what is kept for *kept* ms may be deleted at that time.
local function limit_at(at, kept, since, floor)
  if at - since < warning then return math.min(at - kept, floor) end
  return at - kept
end

local was, since, floor = {}, 0, 0
for part in string.gmatch(call('HGET', K.meta, field) or '', '[^' .. US .. ']+') do was[#was + 1] = tonumber(part) end
if was[4] then
  since, floor = was[3], was[4]
  if keep < was[1] or now - was[2] > warning then
    floor = limit_at(was[2], was[1], since, floor)
    since = now
  end
end
if ARGV[5] ~= '1' then
  local standing = {}
  for at, value in ipairs({ keep, now, since, floor }) do standing[at] = string.format('%.0f', value) end
  call('HSET', K.meta, field, table.concat(standing, US))
end
local limit = limit_at(now, keep, since, floor)
return { string.format('%.0f', limit), limit < now - keep and string.format('%.0f', since + warning) or '' }
