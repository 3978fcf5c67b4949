-- flags: allow-oom
-- Remember a scope that somebody came in by. ARGV: 2 scope, 3 ms for how long.
call('SET', K.known .. ARGV[2], '1', 'PX', ARGV[3])
return 1
