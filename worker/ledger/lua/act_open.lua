-- Begin to freeze the set of a bulk act: nothing -> previewing.
-- ARGV: 2 act's id, 3 what it does, 4 by, 5 filter (JSON) or '', 6 the act it undoes or ''. Returns 1.
local id = ARGV[2]
call('HSET', K.act .. id, 'act', ARGV[3], 'state', 'previewing', 'by', ARGV[4], 'filter', ARGV[5], 'why', '',
  'created', string.format('%.0f', now), 'seen', 0, 'at', 0)
if ARGV[6] ~= '' then call('HSET', K.act .. id, 'undo_of', ARGV[6]) end
call('ZADD', K.act_previews, now, id)
return 1
