-- flags: allow-oom
-- Put other words in the place of personal ones, in an entry of the trail or a bulk act, where nobody changed them meanwhile.
-- ARGV: 2 'trail' or 'act', 3 its id, then 3 per field: name, words that stand there, words to stand there.
-- Returns how many fields were changed.
local key, changed = (ARGV[2] == 'act' and K.act or K.trail_entry) .. ARGV[3], 0
for at = 4, #ARGV, 3 do
  if call('HGET', key, ARGV[at]) == ARGV[at + 1] then
    call('HSET', key, ARGV[at], ARGV[at + 2])
    changed = changed + 1
  end
end
return changed
