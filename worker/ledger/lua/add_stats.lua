-- Add to named counters. ARGV: 2…: name, amount each.
for at = 2, #ARGV, 2 do call('HINCRBYFLOAT', K.stats, ARGV[at], ARGV[at + 1]) end
return 1
