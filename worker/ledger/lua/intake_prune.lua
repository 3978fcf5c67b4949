-- flags: allow-oom
-- uses: intake
-- Delete events that have stood in one state since before a time. Their keys stay known until they are forgotten.
-- ARGV: 2 state, 3 ms before which it must have been entered, 4 most rows. Returns how many rows went.
local left, pruned = tonumber(ARGV[4]), 0
for _, source in ipairs(sources_of_events()) do
  local index, keys = index_of(ARGV[2], source), {}
  local ids = call('ZRANGEBYSCORE', index, '-inf', '(' .. ARGV[3], 'LIMIT', 0, left - pruned)
  for _, id in ipairs(ids) do
    for _, name in ipairs({ K.intake, K.intake_body, K.intake_history }) do keys[#keys + 1] = name .. id end
  end
  if #ids > 0 then
    call('DEL', unpack(keys))
    call('ZREM', index, unpack(ids))
  end
  pruned = pruned + #ids
end
return pruned
