-- flags: no-writes
-- Count what stands in the buckets of one value or beginning, moment by moment.
-- ARGV: 2 the bucket's first signs, 3 first text that counts, 4 first text behind, 5… moments. Returns a count for each.
local low, high, counts = '[' .. ARGV[3], '(' .. ARGV[4], {}
for at = 5, #ARGV do counts[#counts + 1] = call('ZLEXCOUNT', K.search .. ARGV[2] .. ARGV[at], low, high) end
return counts
