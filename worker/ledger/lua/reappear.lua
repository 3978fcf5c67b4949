-- flags: allow-oom
-- Forget that these jobs' links were missing from a list: a later one holds them, or a list was not to be believed.
-- ARGV: 2… jobs. Returns how many were marked.
return call('ZREM', K.absent, unpack(ARGV, 2))
