-- A person's change to an invitation's request, once it is accepted.

-- Put *new* in the place of an invitation's record, with the search terms that it takes and gives. Return false, and do
-- nothing, where *base* is not what lies there: somebody else has rewritten it meanwhile.
local function rewrite(inv, base, new, lost, gained)
  if call('GET', K.invitation .. inv) ~= base then return false end
  call('SET', K.invitation .. inv, new)
  unindex(inv, lost)
  index(inv, gained)
  return true
end
