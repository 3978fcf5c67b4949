-- uses: endings
-- Make deliveries for the links of an invitation nobody was told of, though other jobs of it are still open.
-- ARGV: 2 invitation. Returns the new delivery ids.
local header = header_of(ARGV[2])
if not header then return {} end
local codes = untold_of(ARGV[2], header)
if codes == '' then
  -- Its link is being changed: the new one brings it up again.
  call('ZREM', K.late, ARGV[2])
  return {}
end
return tell(ARGV[2], header, codes)
