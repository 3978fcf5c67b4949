-- flags: no-writes
-- uses: endings sending reminding
-- What may still be reminded of. ARGV: 2… invitations. Returns for each {} or {since, highest number made, 1 if one
-- of them is still to go out, channels}.
local found = {}
for at = 2, #ARGV do
  local header = header_of(ARGV[at])
  local open, channels = header and open_links(ARGV[at], header), {}
  if open then
    for channel in string.gmatch(header.channels, '[^,]+') do
      if open.channels[channel] and (header.policy == 'all' or #channels == 0) then channels[#channels + 1] = channel end
    end
    found[#found + 1] = {
      string.format('%.0f', open.since), open.last, open.is_reminding and 1 or 0, table.concat(channels, ','),
    }
  else
    found[#found + 1] = {}
  end
end
return found
