-- flags: allow-oom
-- uses: trail
-- Leave an entry in the trail. ARGV: 2 act, 3 by, 4 why, 5 subject or '', 6… names and values. Returns its id.
return account(ARGV[2], ARGV[3], ARGV[4], ARGV[5], unpack(ARGV, 6))
