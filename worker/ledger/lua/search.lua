-- The search index: by what an invitation is found. What a term is, `worker/domain/search.py` says: its first four signs
-- name the bucket; the rest and the invitation's id stand in it behind a line break. A bucket is one text: a backfill's
-- rows share their buckets, and are added to each at once.
-- *terms*: separated by line breaks, '' for none.

-- What stands there already changes nothing.
local function index(inv, terms)
  for bucket, rest in string.gmatch(terms, '(....)([^\n]*)\n?') do
    local key, entry = K.search .. bucket, '\n' .. rest .. inv
    if not string.find(call('GET', key) or '', entry, 1, true) then call('APPEND', key, entry) end
  end
end

-- Sought plainly, and not by a pattern, which takes ten times as long.
local function struck_in(whole)
  local count_, found = 0, string.find(whole, '\n-', 1, true)
  while found do
    count_ = count_ + 1
    found = string.find(whole, '\n-', found + 1, true)
  end
  return count_
end

-- An entry is struck out in place, which costs the append-only file no more than itself. A bucket of which half is
-- struck out is written anew.
local function strike(key, entry)
  local whole = call('GET', key) or ''
  local from, to = string.find(whole, entry, 1, true)
  if not from then return end
  if (struck_in(whole) + 1) * #entry * 2 < #whole then
    call('SETRANGE', key, from, string.rep('-', to - from))
    return
  end
  local left = string.gsub(string.sub(whole, 1, from - 1) .. string.sub(whole, to + 1), '\n%-+', '')
  if left == '' then call('DEL', key) else call('SET', key, left) end
end

local function unindex(inv, terms)
  for bucket, rest in string.gmatch(terms, '(....)([^\n]*)\n?') do strike(K.search .. bucket, '\n' .. rest .. inv) end
end
