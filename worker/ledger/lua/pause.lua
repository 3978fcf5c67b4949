-- flags: allow-oom
-- uses: trail
-- Let scopes take no new jobs. ARGV: 2 by ('': a test's or our own, not accounted for), 3 why, 4 target as it was named,
-- 5… scopes.
call('SADD', K.pauses, unpack(ARGV, 5))
if ARGV[2] ~= '' then account('pause', ARGV[2], ARGV[3], ARGV[4]) end
return 1
