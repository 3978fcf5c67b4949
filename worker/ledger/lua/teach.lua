-- uses: trail
-- Keep what an operator teaches, or forget it. Every process takes it up when it sees the new version.
--
-- ARGV: 2 key (a reason, or call:code), 3 the lesson as JSON, or '' to forget it, 4 by, 5 why; 6… reasons of codes that
-- were not known, each with the class that it is of from now on, '' for what it failed with. Returns 1, or 0 where there
-- was nothing to forget.
local before = call('HGET', K.taught, ARGV[2])
if ARGV[3] == '' and not before then return 0 end
before = before and string.match(before, '^[^' .. US .. ']*') or ''
if ARGV[3] == '' then
  call('HDEL', K.taught, ARGV[2])
else
  local parts = { ARGV[3], string.format('%.0f', now), ARGV[4], ARGV[5] }
  call('HSET', K.taught, ARGV[2], table.concat(parts, US))
end
for at = 6, #ARGV, 2 do
  if ARGV[at + 1] == '' then
    call('HDEL', K.taught_classes, ARGV[at])
  else
    call('HSET', K.taught_classes, ARGV[at], ARGV[at + 1])
  end
end
call('HINCRBY', K.meta, 'taught', 1)
account(ARGV[3] == '' and 'unteach' or 'teach', ARGV[4], ARGV[5], ARGV[2], 'before', before, 'after', ARGV[3])
return 1
