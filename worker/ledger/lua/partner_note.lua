-- flags: allow-oom
-- Write down what was last seen of the partner, for people to look at. ARGV: 2… names and values. Returns the time.
call('HSET', K.partner_view, unpack(ARGV, 2))
return string.format('%.0f', now)
