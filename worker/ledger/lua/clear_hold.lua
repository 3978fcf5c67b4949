-- flags: allow-oom
-- uses: guards
-- Clear a scope's hold; it begins anew with a canary. ARGV: 2 scope. Returns 1 when there was one.
return clear_hold(ARGV[2])
