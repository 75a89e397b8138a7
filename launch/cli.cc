#include "launch/cli.h"

#include <algorithm>
#include <iomanip>

#include "base/error.h"
#include "launch/flags.h"
#include "launch/output.h"

namespace vesalius::launch {
namespace {

std::string Registered(const std::string& name) { return Replace(name, "-", "_"); }

gflags::CommandLineFlagInfo Info(const Flag& flag) {
  gflags::CommandLineFlagInfo info;
  Invariant(gflags::GetCommandLineFlagInfo(Registered(flag.name).c_str(), &info), "flag --",
            flag.name, " is not in launch/flags.cc");
  return info;
}

std::vector<std::string> Names(const std::vector<Command>& commands) {
  std::vector<std::string> names;
  for (const Command& command : commands) names.push_back(command.name);
  return names;
}

const Flag& FindFlag(const Command& command, const std::string& typed) {
  const std::string name = Replace(typed.substr(2), "_", "-");
  std::vector<std::string> known = {"--help"};
  for (const Flag& flag : command.flags) {
    if (flag.name == name) return flag;
    known.push_back("--" + flag.name);
  }
  Fail(ExitCode::kUsage, "'", command.name, "' has no flag ", typed, DidYouMean("--" + name, known),
       "; `vesalius ", command.name, " --help` lists them");
}

void SetTyped(const Flag& flag, const std::string& value) {
  if (!flag.choices.empty() &&
      std::find(flag.choices.begin(), flag.choices.end(), value) == flag.choices.end())
    Fail(ExitCode::kUsage, "--", flag.name, " is one of ", Join(flag.choices, ", "), ", not '",
         value, "'", DidYouMean(value, flag.choices));
  const std::string type = Info(flag).type;
  if (gflags::SetCommandLineOption(Registered(flag.name).c_str(), value.c_str()).empty())
    Fail(ExitCode::kUsage, "--", flag.name, " wants ",
         type == "bool"     ? "true or false"
         : type == "uint64" ? "a whole number >= 0"
                            : "a whole number",
         ", not '", value, "'");
}

void RequireGiven(const Command& command, const Arguments& arguments,
                  const std::vector<std::string>& given) {
  std::vector<std::string> missing;
  for (const Flag& flag : command.flags) {
    const bool there = std::find(given.begin(), given.end(), flag.name) != given.end();
    if (flag.required() && !there) missing.push_back("--" + flag.name);
  }
  if (!command.positional.empty() && arguments.positional.empty())
    missing.push_back(command.positional);
  const std::size_t allowed = command.positional.empty() ? 0 : 1;
  const bool many = command.positional.ends_with("...");
  if (arguments.positional.size() > allowed && !many)
    Fail(ExitCode::kUsage, "'", command.name, "' does not take the argument '",
         arguments.positional[allowed], "'; `vesalius ", command.name, " --help` shows its flags");
  if (!missing.empty())
    Fail(ExitCode::kUsage, "'", command.name, "' needs ", Join(missing, ", "), "; `vesalius ",
         command.name, " --help` shows an example");
}

// The command whose one or two words begin `words`; drops them. Null for unknown ones.
const Command* Take(std::vector<std::string>& words) {
  for (const Command& command : Commands()) {
    const std::vector<std::string> name = Split(command.name, ' ');
    if (words.size() >= name.size() && std::equal(name.begin(), name.end(), words.begin())) {
      words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(name.size()));
      return &command;
    }
  }
  return nullptr;
}

// The second words of the commands that begin with `first`: the kinds of `import`.
std::vector<std::string> Kinds(const std::string& first) {
  std::vector<std::string> kinds;
  for (const Command& command : Commands())
    if (command.name.rfind(first + " ", 0) == 0)
      kinds.push_back(command.name.substr(first.size() + 1));
  return kinds;
}

[[noreturn]] void FailUnknown(const std::vector<std::string>& words) {
  if (const auto kinds = Kinds(words[0]); !kinds.empty()) {
    if (words.size() < 2 || words[1][0] == '-')
      Fail(ExitCode::kUsage, "'", words[0], "' wants one of: ", Join(kinds, ", "));
    Fail(ExitCode::kUsage, "'", words[0], "' has no kind '", words[1], "'",
         DidYouMean(words[1], kinds), "; there are: ", Join(kinds, ", "));
  }
  std::vector<std::string> known = Names(Commands());
  known.push_back("help");
  Fail(ExitCode::kUsage, "no subcommand '", words[0], "'", DidYouMean(words[0], known),
       "; there are: ", Join(known, ", "));
}

bool IsHelp(const std::string& word) { return word == "--help" || word == "-h"; }

}  // namespace

Arguments ParseArguments(const Command& command, const std::vector<std::string>& words) {
  Arguments arguments;
  std::vector<std::string> given;
  for (const Flag& flag : command.flags)
    if (flag.repeated()) arguments.repeated[flag.name];
  bool flags_end = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (flags_end || word.size() < 2 || word[0] != '-') {
      arguments.positional.push_back(word);
      continue;
    }
    if (word == "--") {
      flags_end = true;
      continue;
    }
    if (word[1] != '-') Fail(ExitCode::kUsage, "flags begin with two dashes: '", word, "'");
    const std::size_t equals = word.find('=');
    const Flag& flag = FindFlag(command, word.substr(0, equals));
    std::string value = "true";
    if (equals != std::string::npos) {
      value = word.substr(equals + 1);
    } else if (!flag.value.empty()) {
      if (i + 1 == words.size() || words[i + 1].rfind("--", 0) == 0)
        Fail(ExitCode::kUsage, "--", flag.name, " wants a value: --", flag.name, " ", flag.value);
      value = words[++i];
    }
    if (flag.repeated())
      arguments.repeated[flag.name].push_back(value);
    else
      SetTyped(flag, value);
    given.push_back(flag.name);
  }
  RequireGiven(command, arguments, given);
  return arguments;
}

std::string Overview(const std::string& program) {
  std::ostringstream out;
  out << "Vesalius pretrains fine-grained medical vision-language models.\n\nusage: " << program
      << " SUBCOMMAND [flags]\n\n";
  const auto longest =
      std::ranges::max(Commands(), {}, [](const Command& c) { return c.name.size(); });
  const int width = static_cast<int>(longest.name.size()) + 2;
  for (const Command& command : Commands())
    out << "  " << std::left << std::setw(width) << command.name << command.summary << "\n";
  out << "  " << std::setw(width) << "help"
      << "this text\n\n`" << program << " SUBCOMMAND --help` shows its flags and an example.\n";
  return out.str();
}

std::string Help(const Command& command, const std::string& program) {
  std::ostringstream out;
  out << command.summary << "\n\nusage: " << program << " " << command.name;
  if (!command.positional.empty()) out << " " << command.positional;
  for (const Flag& flag : command.flags)
    if (flag.required()) out << " --" << flag.name << " " << flag.value;
  out << (command.flags.empty() ? "\n" : " [flags]\n\n");
  for (const Flag& flag : command.flags) {
    out << "  " << std::left << std::setw(24)
        << StrCat("--", flag.name, flag.value.empty() ? "" : " ", flag.value) << " " << flag.help;
    if (flag.repeated()) out << " (may be repeated)";
    if (flag.kind == Flag::kOptional && !flag.value.empty())
      if (const std::string value = Info(flag).default_value; !value.empty())
        out << " (default: " << value << ")";
    out << "\n";
  }
  out << "\nexample:\n";
  for (const std::string& line : Split(Replace(command.example, "vesalius ", "\001"), '\n'))
    out << "  " << Replace(line, "\001", program + " ") << "\n";
  return out.str();
}

ExitCode RunCommandLine(const std::string& program, const std::vector<std::string>& words) {
  if (words.empty()) Fail(ExitCode::kUsage, "no subcommand\n\n", Overview(program));
  std::vector<std::string> rest = words;
  const bool help = rest[0] == "help" || IsHelp(rest[0]);
  if (help) rest.erase(rest.begin());
  if (help && rest.empty()) {
    Print(Overview(program));
    return ExitCode::kFinished;
  }
  if (rest[0] == "--version") rest[0] = "version";
  const std::vector<std::string> named = rest;
  const Command* command = Take(rest);
  if (command == nullptr) FailUnknown(named);
  if (help || std::any_of(rest.begin(), rest.end(), IsHelp)) {
    Print(Help(*command, program));
    return ExitCode::kFinished;
  }
  return command->run(ParseArguments(*command, rest));
}

}  // namespace vesalius::launch
