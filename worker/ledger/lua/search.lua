-- The search index: by what an invitation is found. What a term is, `worker/domain/search.py` says: its first four signs
-- name the bucket, a set that is small at a million jobs, and the rest stands in it before the invitation's id.
-- *terms*: separated by line breaks, '' for none. What stands there already changes nothing.

local gathered, gathered_buckets = {}, {}

-- Gather the terms of one invitation, for `index_gathered`.
local function gather(inv, terms)
  for bucket, rest in string.gmatch(terms, '(....)([^\n]*)\n?') do
    local members = gathered[bucket]
    if not members then
      members = {}
      gathered[bucket] = members
      gathered_buckets[#gathered_buckets + 1] = bucket
    end
    members[#members + 1] = '0'
    members[#members + 1] = rest .. inv
  end
end

-- Write them, a call per bucket: invitations of one moment share their buckets, which is what makes it cheap.
local function index_gathered()
  for _, bucket in ipairs(gathered_buckets) do call('ZADD', K.search .. bucket, unpack(gathered[bucket])) end
  gathered, gathered_buckets = {}, {}
end

local function index(inv, terms)
  gather(inv, terms)
  index_gathered()
end

local function unindex(inv, terms)
  for bucket, rest in string.gmatch(terms, '(....)([^\n]*)\n?') do call('ZREM', K.search .. bucket, rest .. inv) end
end
