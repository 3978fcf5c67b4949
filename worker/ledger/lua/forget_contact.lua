-- flags: allow-oom
-- The stop list keeps a contact as its fingerprint alone: it can be compared, and is not to be read.
-- ARGV: 2 contact, 3 its fingerprint, 4 '1': also one that did not stand there, 5 by, 6 why.
-- Returns 1 when it stands there as a fingerprint now and did not before, else 0.
local stood = call('HGET', K.suppressed, ARGV[2])
if not stood and ARGV[4] ~= '1' then return 0 end
local since = stood and string.match(stood, '^%d+') or string.format('%.0f', now)
local added = call('HSETNX', K.suppressed, ARGV[3], table.concat({ since, ARGV[5], ARGV[6] }, US))
call('HDEL', K.suppressed, ARGV[2])
return added
