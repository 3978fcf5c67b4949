-- flags: allow-oom
-- uses: guards
-- Hold a scope for a reason; a hold that stands keeps its own. ARGV: 2 scope, 3 reason.
hold(ARGV[2], ARGV[3])
return 1
