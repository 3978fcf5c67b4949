-- uses: trail
-- Keep a brand profile, new or changed. Every process takes it up when it sees the new version.
--
-- ARGV: 2 name, 3 the profile as JSON, 4 version of the one that was seen before ('' for a new one), 5 by, 6 why,
-- 7 most that are kept. Returns 1; 0 where another one stands there by now (or none at all); -1 for too many.
local name, seen = ARGV[2], ARGV[4]
local kept = call('HGET', K.brands, name) or ''
if (string.match(kept, '[^' .. US .. ']*$')) ~= seen then return 0 end
if seen == '' and call('HLEN', K.brands) >= tonumber(ARGV[7]) then return -1 end
local version = call('HINCRBY', K.meta, 'brands', 1)
local parts = { ARGV[3], string.format('%.0f', now), ARGV[5], version }
call('HSET', K.brands, name, table.concat(parts, US))
local before = string.match(kept, '^[^' .. US .. ']*')
account(seen == '' and 'brand_add' or 'brand_edit', ARGV[5], ARGV[6], name, 'before', before, 'after', ARGV[3])
return 1
